"""From a camera's newest frame to every viewer."""
