"""Signal processing: tables made with NumPy once, and the Numba kernel that uses them."""
