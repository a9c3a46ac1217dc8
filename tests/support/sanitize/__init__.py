"""The native backend under AddressSanitizer and UndefinedBehaviorSanitizer, in one program with a stand-in for Triton.

`python -m tests.support.sanitize` compiles it (stand_in.c says how it works), plays every scenario, plays each again with every
call failing once, and feeds random configurations and requests for a minute. `make sanitize` runs that.
"""
