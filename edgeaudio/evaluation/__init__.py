"""Measuring models on labelled recordings: accuracy, miss rate, false alarms per hour."""
