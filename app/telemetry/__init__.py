"""What is told of a turn when it ends: observers of one frozen TurnRecord."""
