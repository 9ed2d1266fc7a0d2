"""Tables: CSV, Parquet and data frames, surveyed in one pass and stored as a float64 matrix in a second one."""
