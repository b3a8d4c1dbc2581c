"""Which reader unpacks, lists and tests each family of formats; the one module that knows them all.

Readers are imported when an archive needs them: together they cost more than a small archive.
"""

from __future__ import annotations

from engines.archive.detect import Family
from engines.archive.encodings import Decoder
from engines.archive.extract.chain import first_able
from engines.archive.extract.run import Run
from engines.archive.member import Listing
from engines.archive.volumes import Volumes


def extract(run: Run) -> None:
    """Unpack into the run's tree.

    Raises:
        TaskdeckError: see `engines.archive.extract.job.run`.
    """
    match run.found.family:
        case Family.ZIP:
            from engines.archive.extract import zip as zipped

            zipped.extract(run)
        case Family.TAR:
            from engines.archive.extract import tar

            tar.extract(run)
        case Family.STREAM:
            from engines.archive.extract import single

            single.extract(run)
        case Family.RAR:
            from engines.archive.extract import rar

            rar.extract(run)
        case family:
            from engines.archive.extract import libarchive, sevenzip

            able = (sevenzip.extract, libarchive.extract)
            first_able(run, able[::-1] if family is Family.LIBARCHIVE else able, run.start_over)


def listing(run: Run) -> Listing:
    """All members, without writing.

    Raises:
        TaskdeckError: see `engines.archive.inspect.run_info`.
    """
    found = run.found
    match found.family:
        case Family.ZIP:
            return _zip_listing(run)
        case Family.TAR:
            from engines.archive.extract import tar

            return Listing(found.format, list(tar.members(run)), len(found.volumes))
        case Family.STREAM:
            from engines.archive.extract import single

            return Listing(found.format, [single.member(run)], len(found.volumes))
        case Family.RAR:
            from engines.archive.extract import rar_headers

            return rar_headers.listing(run)
        case family:
            from engines.archive.extract import libarchive, sevenzip

            able = (sevenzip.catalogue, libarchive.listing)
            return first_able(run, able[::-1] if family is Family.LIBARCHIVE else able, run.forget)


def _zip_listing(run: Run) -> Listing:
    """The central directory, even where unpacking would be refused."""
    from engines.archive.extract.zip_directory import read_directory
    from engines.archive.extract.zip_members import read_links

    decoder = Decoder(run.op.encoding)
    with Volumes(run.found.volumes) as volumes:
        directory = read_directory(volumes, decoder, max_entries=run.limits.max_entries, check=run.job.check)
        read_links(volumes, directory)
    run.encoding = decoder.chosen
    listing = directory.listing(len(run.found.volumes))
    if decoder.guessed:
        listing.warnings.append(decoder.hint)
    return listing


def test(run: Run) -> None:
    """Verify every checksum without writing; failures of members go to `Run.spoiled`.

    Raises:
        TaskdeckError: see `engines.archive.inspect.run_test`.
    """
    match run.found.family:
        case Family.ZIP:
            from engines.archive.extract import zip as zipped

            zipped.test(run)
        case Family.TAR:
            from engines.archive.extract import tar

            tar.test(run)
        case Family.STREAM:
            from engines.archive.extract import single

            single.test(run)
        case Family.RAR:
            from engines.archive.extract import rar

            rar.test(run)
        case family:
            from engines.archive.extract import libarchive, sevenzip

            able = (sevenzip.test, libarchive.test)
            first_able(run, able[::-1] if family is Family.LIBARCHIVE else able, run.forget)
