"""What runs user code, torch and builders: each in a process of its own, started by `processes.run_worker`."""
