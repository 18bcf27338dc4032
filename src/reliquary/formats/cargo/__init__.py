"""The cargo format: alternate registries over the sparse protocol, and mirrors of other ones."""
