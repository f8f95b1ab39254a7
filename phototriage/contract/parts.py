"""What the parts of a multipart body are called."""

PART, IMAGES_PART, EMBEDDING_PART = "image", "images", "embedding"
IMAGE_PARTS = ("image_a", "image_b")
EMBEDDING_PARTS = ("embedding_a", "embedding_b")
