"""A run's model in the formats of other programs: ONNX, torch.export, a folder of Hugging Face."""
