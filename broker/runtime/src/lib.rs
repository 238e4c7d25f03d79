//! The outside world behind one facade: live (glommio) and simulated.
