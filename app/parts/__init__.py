"""The parts that create_app joins, each made from the settings; what nobody has asked for is not even imported."""
