"""The embedded server's fixtures, for the tests of this folder."""

from tests.localcloud.fixtures import localcloud, start_localcloud

__all__ = ["localcloud", "start_localcloud"]
