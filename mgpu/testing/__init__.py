"""What tests and the simulator build worlds with: builders, clocks, fakes."""
