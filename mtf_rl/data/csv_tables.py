"""Read a CSV file and check it against the declared columns.

Arrow reads and checks valid files fast. If it finds an error, a slow reader over the same bytes
locates the first invalid line, so that the message has file, line and column.
"""

import csv
import io
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from mtf_rl.core.errors import DataError
from mtf_rl.data.schema import LARGEST_NUMBER, NULL_TEXTS, Column, ColumnKind
from mtf_rl.data.sources import FoundFile, SourceFile, read_source

__all__ = ["count_rows", "read_table"]

_ARROW_TYPES = {
    ColumnKind.INTEGER: pa.int64(),
    ColumnKind.NUMBER: pa.float64(),
    ColumnKind.CODE: pa.float64(),
    ColumnKind.TEXT: pa.string(),
    ColumnKind.DATE: pa.date32(),
    ColumnKind.TAGS: pa.string(),
}


def count_rows(file: FoundFile) -> SourceFile:
    """Record a file that is not used, with its number of rows."""
    content, sha256 = read_source(file.path)
    return SourceFile(file.path.name, file.kind, max(_count_lines(content) - 1, 0), sha256)


def read_table(file: FoundFile, columns: tuple[Column, ...]) -> tuple[pa.Table, SourceFile]:
    """Read the given columns of a file as an Arrow table, in file order.

    Columns may have any order; other columns are ignored and listed in the `SourceFile`. An empty
    cell is null, and an error if the column is required.

    Raises:
        DataError: if the file is invalid; the message has file, line and column of the first error.
    """
    name = file.path.name
    content, sha256 = read_source(file.path)
    header = _read_header(name, content)
    _check_header(name, header, columns)
    lines = _count_lines(content) - 1
    if lines == 0:
        raise DataError(f"{name} has a header but no rows. Download it again, or remove it.")
    try:
        table = _parse(content, header, columns)
    except pa.ArrowException as error:
        _refuse_line(name, content, columns, str(error))
    if table.num_rows != lines:
        _refuse_line(name, content, columns, "a quoted cell spans several lines")
    if not all(_in_range(table.column(column.name), column) for column in columns):
        _refuse_line(name, content, columns, "a value is out of range")
    ignored = tuple(sorted(set(header) - {column.name for column in columns}))
    return table, SourceFile(name, file.kind, table.num_rows, sha256, ignored)


def _refuse_line(name: str, content: bytes, columns: tuple[Column, ...], reason: str) -> NoReturn:
    """Raise a `DataError` for the first invalid line, or with `reason` if no line is invalid."""
    text = content.decode("utf-8-sig", errors="surrogateescape")
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(rows)
        positions = [(header.index(column.name), column) for column in columns]
        line = rows.line_num
        for row in rows:
            line, previous = rows.line_num, line
            if line > previous + 1:
                raise DataError(
                    f"{name}, line {previous + 1}: a quoted cell spans several lines."
                    " Close the quotation mark."
                )
            if row:
                _check_row(f"{name}, line {line}", row, len(header), positions)
    except csv.Error as error:
        raise DataError(f"{name}, line {rows.line_num}: {error}. Correct the line.") from error
    raise DataError(f"{name} cannot be read as CSV: {reason}. Download it again.")


def _read_header(name: str, content: bytes) -> list[str]:
    first, _, _ = content.partition(b"\n")
    try:
        cells = next(csv.reader([first.decode("utf-8-sig").rstrip("\r")]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{name}, line 1: the header cannot be read as CSV in UTF-8 ({error})."
            " Save the file as CSV in UTF-8."
        ) from error
    return cells


def _check_header(name: str, header: list[str], columns: tuple[Column, ...]) -> None:
    if not header:
        raise DataError(f"{name}, line 1: expected a header, got an empty line. Download it again.")
    missing = [column.name for column in columns if column.name not in header]
    if missing:
        raise DataError(
            f"{name}, line 1: no column {', '.join(missing)}; found {', '.join(header)}."
            " Use a file with KuaiRand's original header."
        )
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        raise DataError(
            f"{name}, line 1: column {', '.join(repeated)} is repeated. Keep one of each."
        )


def _parse(content: bytes, header: list[str], columns: tuple[Column, ...]) -> pa.Table:
    return arrow_csv.read_csv(
        pa.BufferReader(content),
        read_options=arrow_csv.ReadOptions(column_names=header, skip_rows=1),
        convert_options=arrow_csv.ConvertOptions(
            column_types={column.name: _ARROW_TYPES[column.kind] for column in columns},
            include_columns=[column.name for column in columns],
            null_values=list(NULL_TEXTS),
            strings_can_be_null=True,
        ),
    )


def _count_lines(content: bytes) -> int:
    """Number of non-blank lines, which serves to check the CSV reader's row count."""
    return sum(1 for line in io.BytesIO(content) if line.strip())


def _in_range(values: pa.ChunkedArray, column: Column) -> bool:
    if column.required and values.null_count:
        return False
    if len(values) == values.null_count:
        return True
    if column.kind is ColumnKind.INTEGER:
        span = pc.min_max(values).as_py()
        return bool(column.low <= span["min"] and span["max"] <= column.high)
    if column.kind in (ColumnKind.NUMBER, ColumnKind.CODE):
        # NaN and infinity also fail this comparison.
        return bool(pc.all(pc.less_equal(pc.abs(values), float(LARGEST_NUMBER))).as_py())
    if column.kind is ColumnKind.DATE:
        return True
    return all(column.accepts(text) for text in pc.unique(values).to_pylist() if text is not None)


def _check_row(
    position: str, row: list[str], width: int, positions: list[tuple[int, Column]]
) -> None:
    if len(row) != width:
        raise DataError(
            f"{position}: expected {width} cells, got {len(row)}. Correct or remove the line."
        )
    for number, column in positions:
        text = row[number]
        if not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text):
            raise DataError(
                f"{position}, column {column.name}: expected UTF-8 text, got the bytes"
                f" {text.encode('utf-8', 'surrogateescape')!r}. Save the file as UTF-8."
            )
        if not column.accepts(text):
            raise DataError(
                f"{position}, column {column.name}: expected {column.expected}, got {text!r}."
                " Correct or remove the line."
            )
