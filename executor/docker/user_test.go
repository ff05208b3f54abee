package docker

import specs "github.com/opencontainers/runtime-spec/specs-go"

// testUser is a user that no machine has.
var testUser = specs.User{UID: 61234, GID: 61234}
