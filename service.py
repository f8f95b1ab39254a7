"""The service under the name by which bentofile.yaml and `bentoml serve service:Phototriage` find it in a checkout."""

from phototriage.server.bento_service import Phototriage

__all__ = ["Phototriage"]
