"""The version of Pipecat that this crate is compared with."""

VERSION = "1.14.0"
