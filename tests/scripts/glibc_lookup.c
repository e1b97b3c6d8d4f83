/* Looks a name up by getaddrinfo of the C library, with its resolver pointed at 127.0.0.1 and a port of our own.
 *
 *   LOCALDOMAIN="dev.svc.cluster.local svc.cluster.local" RES_OPTIONS=ndots:5 glibc_lookup PORT NAME
 *
 * glibc takes the search path and the options from the environment, as it does from /etc/resolv.conf, but a port from
 * neither: here the program sets it, as resolver(3) allows. Prints the addresses, one a line. Exit status: 0 found,
 * 1 not found (the reason on standard error), 2 used wrongly. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	char *end;
	long port;

	if (argc != 3 || (port = strtol(argv[1], &end, 10)) < 1 || port > 65535 || *end != '\0') {
		fprintf(stderr, "usage: glibc_lookup PORT NAME\n");
		return 2;
	}
	if (res_init() != 0) {
		perror("res_init");
		return 2;
	}
	memset(&_res.nsaddr_list[0], 0, sizeof(_res.nsaddr_list[0]));
	_res.nsaddr_list[0].sin_family = AF_INET;
	_res.nsaddr_list[0].sin_port = htons((unsigned short)port);
	_res.nsaddr_list[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	_res.nscount = 1;

	struct addrinfo hints, *found, *each;
	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_DGRAM;
	int status = getaddrinfo(argv[2], NULL, &hints, &found);
	if (status != 0) {
		fprintf(stderr, "%s: %s\n", argv[2], gai_strerror(status));
		return 1;
	}
	for (each = found; each != NULL; each = each->ai_next) {
		char text[INET6_ADDRSTRLEN];
		const void *address = each->ai_family == AF_INET
			? (const void *)&((const struct sockaddr_in *)(const void *)each->ai_addr)->sin_addr
			: (const void *)&((const struct sockaddr_in6 *)(const void *)each->ai_addr)->sin6_addr;
		if (inet_ntop(each->ai_family, address, text, sizeof(text)) != NULL)
			puts(text);
	}
	freeaddrinfo(found);
	return 0;
}
