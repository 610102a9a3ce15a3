//! Guests that run commands in a root filesystem: kernels, backends and the control channel.
