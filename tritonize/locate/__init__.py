"""The node that an error comes from: `search.py` asks each node, `bisection.py` which nodes have to stay in float32."""
