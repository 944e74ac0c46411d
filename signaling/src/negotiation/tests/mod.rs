//! Properties of the negotiation, on offers of real browsers.
