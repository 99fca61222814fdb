/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into binderRpcTest: its vsock connections get a larger buffer.
 *
 * Linux 6.12.95 counts what a queued message costs besides its bytes against the
 * buffer, of 256 KiB, and resets the connection when that is too much: some 450
 * messages that nobody has read yet. OnewayStressTest sends 1000.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

int socket(int domain, int type, int protocol)
{
	unsigned long long room = 4 << 20;
	int fd = syscall(SYS_socket, domain, type, protocol);

	if (fd >= 0 && domain == AF_VSOCK) {
		setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &room, sizeof(room));
		setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &room, sizeof(room));
	}
	return fd;
}
