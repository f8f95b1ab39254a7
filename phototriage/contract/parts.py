"""What the parts of a multipart body are called, and what is said of those that it doesn't have."""

PART, IMAGES_PART, EMBEDDING_PART = "image", "images", "embedding"
IMAGE_PARTS = ("image_a", "image_b")
EMBEDDING_PARTS = ("embedding_a", "embedding_b")

ADDRESSES = ("url", "uri", "link", "image_url", "imageurl", "image-url", "image_uri")  # parts that some services have
NOT_FETCHED = (
    "Addresses of images are not fetched, since anyone could have the server call what only the server can reach: "
    "download the image, and send its bytes"
)
