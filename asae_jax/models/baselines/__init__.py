"""Other methods that ASAE is compared with: drop layers in its place, attention inside a ResNet."""
