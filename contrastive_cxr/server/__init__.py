"""A run's or a gallery's models behind HTTP; `app.build` makes the ASGI application."""
