"""Images and manifests: what builds, tries and checks them."""
