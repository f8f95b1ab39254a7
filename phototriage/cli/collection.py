"""The command `phototriage collection`: what a server has kept as Parquet files, and back, while none keeps it."""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

from phototriage.cli.exit_status import DONE, refuse
from phototriage.collection_stores.opening import open_catalogue
from phototriage.collections.catalogue import Catalogue
from phototriage.common.errors import PhototriageError, StoreUnavailable
from phototriage.common.progress import Progress
from phototriage.models.model_set import load_models
from phototriage.settings import Settings


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    parser = commands.add_parser("collection", help="export or import what a server keeps in PHOTOTRIAGE_COLLECTIONS")
    actions = parser.add_subparsers(dest="action", required=True)
    listed = actions.add_parser("list", help="print what there is, as JSON")
    export = actions.add_parser("export", help="write a collection's photos to a Parquet file")
    imported = actions.add_parser("import", help="take photos from such a file, or from one of phototriage score")
    for action, act_on in ((listed, _list), (export, _export), (imported, _import)):
        action.add_argument("--collections", metavar="PLACE", help="in place of PHOTOTRIAGE_COLLECTIONS")
        action.set_defaults(run=run, act_on=act_on)
    for action in (export, imported):
        action.add_argument("name", metavar="COLLECTION")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    imported.add_argument("file", type=Path, metavar="FILE")
    imported.add_argument("--model", help="embedder of a collection that isn't there yet; without it the default one")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """0: done; 2: it can't be done."""
    place = options.collections or settings.collections
    if place is None:
        return refuse("it isn't said where collections are. Set PHOTOTRIAGE_COLLECTIONS, or give --collections PLACE")
    try:
        catalogue = open_catalogue(place, settings)
    except PhototriageError as error:
        return refuse(str(error))
    try:
        options.act_on(options, settings, catalogue)
    except PhototriageError as error:
        return refuse(str(error))
    except OSError as error:
        return refuse(f"{error.filename}: {error.strerror or error}")
    finally:
        catalogue.close()
    return DONE


def _list(options: argparse.Namespace, settings: Settings, catalogue: Catalogue) -> None:
    for name in catalogue.names():
        store = catalogue.get(name).store
        model = store.description.model
        print(json.dumps({"name": name, "model": model.name, "version": model.version, **store.counts()._asdict()}))


def _export(options: argparse.Namespace, settings: Settings, catalogue: Catalogue) -> None:
    require_parquet()
    from phototriage.collections import exchange

    store = catalogue.get(options.name).store
    progress = Progress(store.counts().photos, title=f"{options.name}: ", unit="photos")
    count = exchange.write(store, options.output, progress.step)
    print(json.dumps({"collection": options.name, "photos": count, "file": str(options.output)}))


def _import(options: argparse.Namespace, settings: Settings, catalogue: Catalogue) -> None:
    require_parquet()
    from phototriage.collections import exchange

    if options.name in catalogue.names() and options.model is None:
        collection = catalogue.get(options.name)
    else:
        collection = catalogue.create(options.name, load_models(settings).embedder(options.model)).collection
    progress = Progress(None, title=f"{options.file.name}: ", unit="photos")
    with collection.store.loading():
        taken = exchange.read(collection.store, options.file, progress.step, settings.max_collection_photos)
    print(json.dumps({"collection": options.name, **taken._asdict()}))


def require_parquet() -> None:
    """Raises StoreUnavailable."""
    if find_spec("pyarrow") is None:
        raise StoreUnavailable("Parquet files need pyarrow. Install it: pip install 'phototriage[score]'")
