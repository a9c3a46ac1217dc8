"""TensorRT plans: a request (`request.py`), its build (`builder.py`), its proof (`proof.py`), collection (`collection.py`)."""
