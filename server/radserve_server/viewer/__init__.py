"""The web server of the reading room: OHIF, its panel, and the way to archive and gateway from one address."""
