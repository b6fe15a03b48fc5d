"""How late and how dear the real engine is on this device: runs, probes, sensors, tuning, reports."""
