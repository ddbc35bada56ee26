"""One script and one results page per claim; each script gives its command."""
