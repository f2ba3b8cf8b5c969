"""The UPS-RS worklist: questions on studies as work items."""
