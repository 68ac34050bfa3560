"""The networks that ASAE is put into: ResNet, VGG, ConvNeXt, EfficientNet, ViT, and two cell classifiers."""
