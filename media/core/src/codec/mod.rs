//! Payload descriptors: what a forwarder must know of a payload without decoding it.
