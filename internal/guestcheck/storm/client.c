// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "storm.h"

bool client_open(struct client *c, size_t map_len)
{
	*c = (struct client){ .fd = open(device, O_RDWR | O_CLOEXEC), .map_len = map_len };
	if (c->fd < 0)
		return errno != ENOENT && errno != ENODEV && errno != ENXIO;
	c->map = mmap(NULL, map_len, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, c->fd, 0);
	if (c->map == MAP_FAILED)
		c->map = NULL;
	return true;
}

int client_write_read(struct client *c, const void *out, size_t out_len, void *in,
		      size_t in_room, size_t *in_len)
{
	struct binder_write_read bwr = {
		.write_size = out_len,
		.write_buffer = (uintptr_t)out,
		.read_size = in_room,
		.read_buffer = (uintptr_t)in,
	};
	int err = client_ioctl(c, BINDER_WRITE_READ, &bwr);

	*in_len = bwr.read_consumed <= in_room ? bwr.read_consumed : 0;
	return err;
}

int client_ioctl(struct client *c, unsigned long cmd, void *arg)
{
	return ioctl(c->fd, cmd, arg) < 0 ? errno : 0;
}
