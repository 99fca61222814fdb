// SPDX-License-Identifier: Apache-2.0
//
// The guest's init in the measurement of boot times: it says that it was reached.

#include <unistd.h>

int main(void)
{
	static const char reached[] = "init was reached\n";

	if (write(STDOUT_FILENO, reached, sizeof(reached) - 1) < 0)
		return 1;
	for (;;)
		pause();
}
