//! Label distributions, leakage and conflicts of a dataset, with polars.
