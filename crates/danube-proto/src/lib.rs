//! The durable protocol between the master and the shim: gRPC messages, the SDK's JSON lines.
