"""Names that say that a file holds no text, so that it need not be opened to know."""

from pathlib import PurePath

_NAMES = """
image     3ds ai avif bmp cr2 dds eps fig gif heic icns ico jfif jpeg jpg jxl nef pbm pcx pgm png
          pnm ppm psd raw svg svgz tga tif tiff webp wmf xbm xcf xpm
sound     aac aif aiff au flac m4a mid midi mp3 oga ogg opus ra wav wma
film      3gp avi flv m4v mkv mov mp4 mpeg mpg ogv vob webm wmv
font      afm eot otf pcf pfa pfb ttc ttf woff woff2
archive   7z ar br bz2 cab cpio deb dmg gz iso jar lz lz4 lzma rar rpm snap tar tbz tgz txz whl
          xz zip zst
program   a bin class com dll dylib elc exe o obj pdb pyc pyd pyo so wasm
data      arrow dat db dbf dvi faiss feather gguf h5 hdf5 joblib lockb mat mdb mo npy npz onnx
          parquet pb pickle pkl pt pth rdata rds safetensors sav sqlite sqlite3 swp
generated map min.css min.js
"""
SUFFIXES_WITHOUT_TEXT = tuple(
    f".{suffix}" for line in _NAMES.strip().splitlines() for suffix in line[10:].split()
)


def is_named_as_binary(name: str) -> bool:
    """Whether a file of this name holds no text: an image, an archive, what a build made."""
    return PurePath(name).name.lower().endswith(SUFFIXES_WITHOUT_TEXT)
