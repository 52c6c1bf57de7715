//! The local MQTT broker, usable alone.
