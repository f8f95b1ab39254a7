"""What test_http_api doesn't see of forms."""

from __future__ import annotations

import gc
import weakref

from phototriage.server.form import Field, Form, FormSchema

SCHEMA = FormSchema(((Field("image", 1_000_000),),), "Send one image")


def test_a_body_is_gone_with_its_form_and_needs_no_garbage_collector() -> None:
    form = Form(b"boundary", SCHEMA)
    head = b'--boundary\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    gc.disable()
    try:
        form.write(head + bytes(100_000) + b"\r\n--boundary--\r\n")
        assert form.finish() == {"image": bytes(100_000)}
        body = weakref.ref(form._bodies["image"])
        del form
        assert body() is None
    finally:
        gc.enable()
