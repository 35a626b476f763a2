"""Where usbshare keeps its files on this computer."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from usbshare.base.errors import ConfigError
from usbshare.base.os_errors import of_file

HOME_VARIABLE = "USBSHARE_HOME"
SETTINGS_FILE = "usbshare.toml"
CLIENT_BUNDLE_FILE = "client.pem"
SITE_FOLDER = "site"
STATE_FOLDER = "state"


def config_folder() -> Path:
    """Return where settings and certificates are: USBSHARE_HOME or the user's; need not exist."""
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home).expanduser()
    import platformdirs  # noqa: PLC0415 - a stop does not wait for it

    return platformdirs.user_config_path("usbshare")


def settings_path() -> Path:
    """Return where the settings are unless a flag says otherwise."""
    return config_folder() / SETTINGS_FILE


def client_bundle_path() -> Path:
    """Return where the client's certificate is unless a flag says otherwise."""
    return config_folder() / CLIENT_BUNDLE_FILE


def state_folder() -> Path:
    """Return where a service notes what must survive it; need not exist."""
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home).expanduser() / STATE_FOLDER
    import platformdirs  # noqa: PLC0415 - a stop does not wait for it

    return platformdirs.user_state_path("usbshare")


def runtime_folder() -> Path:
    """Return a private folder for links and sockets, made if need be; ConfigError if none is."""
    try:
        return _private_folder(_user_runtime_path())
    except (ConfigError, OSError):
        return _fallback_folder()


def existing_runtime_folders() -> list[Path]:
    """Return the runtime folders of this user that are there; makes none."""
    folders = dict.fromkeys((_user_runtime_path(), _fallback_path()))
    return [folder for folder in folders if _is_own_folder(folder)]


def make_private(folder: Path) -> None:
    """Create the folder, or narrow the one there, to be the owner's only (mode 0700)."""
    make_folder(folder)
    if is_open_to_others(folder):
        folder.chmod(0o700)


def make_folder(folder: Path) -> None:
    """Create what is missing of a folder and those above it, each the owner's only (mode 0700)."""
    # pathlib makes the parents by the umask: anyone who may write there replaces what is in them.
    for each in reversed((folder, *folder.parents)):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)  # an error where a file is in its place


def write_private(path: Path, content: bytes) -> None:
    """Replace the file in one step by one that only the owner may read (mode 0600)."""
    _replace(path, content, 0o600)


def rewrite(path: Path, content: bytes) -> None:
    """Replace the file in one step, or make it private; one that is there keeps its mode."""
    real = path.resolve()  # a link to a file elsewhere stays a link
    _replace(real, content, stat.S_IMODE(real.stat().st_mode) if real.exists() else 0o600)


def require_writable(path: Path, size: int) -> None:
    """Raise OSError unless `write_private` and `rewrite` can put so many bytes there now."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    real = path.resolve()
    import tempfile  # noqa: PLC0415 - a stop does not wait for it

    descriptor, temporary = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(bytes(size))
            file.flush()
            os.fsync(descriptor)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _replace(path: Path, content: bytes, mode: int) -> None:
    import tempfile  # noqa: PLC0415 - a stop does not wait for it

    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        _set_mode(Path(temporary), mode)
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise of_file(error, path) from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _set_mode(path: Path, mode: int) -> None:
    """Give the file its mode; where that is refused, one that gives others no more is as good."""
    found = stat.S_IMODE(path.stat().st_mode)
    if found == mode:
        return
    try:
        path.chmod(mode)
    except OSError:  # as on vfat, SMB, and where the owner is another user's number
        if found & 0o077 & ~mode:
            raise


def is_open_to_others(path: Path) -> bool:
    """Return whether group or others have any right to the path; False where there are no modes."""
    return has_modes() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _user_runtime_path() -> Path:
    import warnings  # noqa: PLC0415 - a stop does not wait for it

    import platformdirs  # noqa: PLC0415 - a stop does not wait for it

    with warnings.catch_warnings():
        # platformdirs warns if no user is logged in (containers); what it chose is checked later.
        warnings.simplefilter("ignore")
        return platformdirs.user_runtime_path("usbshare")


def _fallback_folder() -> Path:
    folder = _fallback_path()
    try:
        return _private_folder(folder)
    except OSError as error:
        raise ConfigError(
            f"cannot create the runtime folder {folder}: {error.strerror}: set TMPDIR"
        ) from error


def _fallback_path() -> Path:
    import tempfile  # noqa: PLC0415 - a stop does not wait for it

    return Path(tempfile.gettempdir()) / f"usbshare-{own_uid()}"


def _is_own_folder(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == own_uid()


def _private_folder(folder: Path) -> Path:
    _make_with_parents(folder)
    _require_own(folder)
    make_private(folder)
    return folder


def _make_with_parents(folder: Path) -> None:
    """Make a folder and those above it private: to what `mkdir` makes above applies the umask."""
    if not folder.parent.exists():
        _make_with_parents(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def _require_own(folder: Path) -> None:
    # In a shared /tmp anyone may have been there first, with a folder or a link of that name.
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode) or found.st_uid != own_uid():
        raise ConfigError(f"{folder} belongs to another user: remove it, or set TMPDIR")
    if folder.parent.stat().st_uid not in {0, own_uid()}:
        raise ConfigError(f"{folder.parent} belongs to another user: set TMPDIR to another folder")


def own_uid() -> int:
    """Return the effective user's number; 0 where users have none."""
    return int(os.geteuid()) if hasattr(os, "geteuid") else 0


def has_modes() -> bool:
    """Return whether files have owners and modes: not on Windows, where a profile is private."""
    return hasattr(os, "geteuid")
