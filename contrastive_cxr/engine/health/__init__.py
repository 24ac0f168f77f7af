"""What can go wrong on a device in training: too little memory, values that are not finite."""
