"""What the parts of a form are called, in requests and in the OpenAPI document."""

PART, IMAGES_PART = "image", "images"
IMAGE_PARTS = ("image_a", "image_b")
EMBEDDING_PARTS = ("embedding_a", "embedding_b")
