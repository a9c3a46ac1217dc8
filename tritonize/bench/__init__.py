"""Send load to a server and measure it: closed and open loops, windows, percentiles, and responses kept for a comparison."""
