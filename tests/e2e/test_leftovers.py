"""What a client of the real server leaves when it is killed."""

from __future__ import annotations

import pytest

from tests.support.waiting import killed
from tritonize.process import cleanup
from tritonize.triton.client import connect_to
from tritonize.triton.server.embedded import Running


class TestRegions:
    @pytest.mark.server
    def test_the_regions_of_a_killed_client_are_removed(self, server: Running) -> None:
        """Once its regions are registered, as they are in every moment but the first."""
        code = (
            "import numpy as np, time; from tritonize.triton import client\n"
            "headers = {sys.argv[2]: sys.argv[3]}\n"
            "with client.connect(sys.argv[1], 'shm', shm_prefix='tritonize-test-client-', headers=headers) as c:\n"
            "    c.infer('identity_fp32', {'X': np.zeros((1, 1000), np.float32)})\n"
            "    print('ready', flush=True); time.sleep(60)"
        )
        killed(code, server.grpc_url, *next(iter(server.headers["grpc"].items())))
        assert list(cleanup.SHARED_MEMORY.glob("tritonize-test-client-*")) == []
        with connect_to(server, "grpc") as connection:
            connection._call(connection._client.unregister_system_shared_memory)
