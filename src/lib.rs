//! Loads machine-learning model files safely.
