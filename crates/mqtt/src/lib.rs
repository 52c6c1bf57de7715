//! MQTT v3.1.1 and v5 packets and session machines for both roles, without I/O.
