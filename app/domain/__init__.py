"""Plain types that every room speaks: requests, events, errors and ports. Nothing here touches the world."""
