# Listens on the loopback of the box whose network this container shares, and carries what comes
# there over its own standard input and output. Frames: who (4 bytes), what (1), length (4), bytes.
# Nobody sends more of a connection than the other side has credited, so that a slow reader holds up
# its own connection alone. It ends with its standard input.
use strict;
use warnings;
use Errno qw(EAGAIN EINTR);
use IO::Handle;
use Socket;

my ($READY, $OPEN, $DATA, $EOF, $CLOSE, $CREDIT) = 0 .. 5;
my ($WINDOW, $CHUNK, $MOST) = (262144, 65536, 512);
my (%conns, $last);
my $told = '';

$SIG{PIPE} = 'IGNORE';
my $door;
socket($door, PF_INET, SOCK_STREAM, 0) && bind($door, pack_sockaddr_in(0, INADDR_LOOPBACK))
    && listen($door, 128) && defined $door->blocking(0)
    or die "no listener: $!\n";
say_to_host(0, $READY, (unpack_sockaddr_in(getsockname($door)))[0]);

while (1) {
    my ($readable, $writable) = ('', '');
    vec($readable, 0, 1) = 1;
    vec($readable, fileno($door), 1) = 1 if keys %conns < $MOST;
    for my $conn (values %conns) {
        vec($readable, $conn->{fd}, 1) = 1 if $conn->{credit} && !$conn->{heard};
        vec($writable, $conn->{fd}, 1) = 1 if length $conn->{out};
    }
    next if select($readable, $writable, undef, undef) < 0;
    for my $id (keys %conns) {
        my $conn = $conns{$id};
        to_client($id, $conn) if vec($writable, $conn->{fd}, 1);
        from_client($id, $conn) if $conns{$id} && vec($readable, $conn->{fd}, 1);
    }
    welcome() if vec($readable, fileno($door), 1);
    from_host() if vec($readable, 0, 1);
}

sub welcome {
    accept(my $client, $door) or return;
    $client->blocking(0);
    $last = (($last // 0) % 0xffffffff) + 1;
    $conns{$last} = {socket => $client, fd => fileno $client, out => '', credit => $WINDOW,
                     taken => 0, heard => 0, over => 0, closing => 0};
    say_to_host($last, $OPEN, '');
}

sub from_client {
    my ($id, $conn) = @_;
    my $most = $conn->{credit} < $CHUNK ? $conn->{credit} : $CHUNK;
    my $got = sysread($conn->{socket}, my $data, $most);
    if (!defined $got) {
        return if $! == EAGAIN || $! == EINTR;
        return drop($id);
    }
    if ($got == 0) {
        $conn->{heard} = 1;
        return say_to_host($id, $EOF, '');
    }
    $conn->{credit} -= $got;
    say_to_host($id, $DATA, $data);
}

sub to_client {
    my ($id, $conn) = @_;
    my $put = syswrite($conn->{socket}, $conn->{out});
    if (!defined $put) {
        return if $! == EAGAIN || $! == EINTR;
        return drop($id);
    }
    substr($conn->{out}, 0, $put, '');
    $conn->{taken} += $put;
    if ($conn->{taken} >= $WINDOW / 2 && !$conn->{closing}) {
        say_to_host($id, $CREDIT, pack('N', $conn->{taken}));
        $conn->{taken} = 0;
    }
    settle($id, $conn);
}

sub settle {    # what was waiting for the last byte
    my ($id, $conn) = @_;
    return if length $conn->{out};
    shutdown($conn->{socket}, 1) if $conn->{over};
    delete $conns{$id} if $conn->{closing};
}

sub drop {
    my ($id) = @_;
    say_to_host($id, $CLOSE, '') unless $conns{$id}{closing};
    delete $conns{$id};
}

sub from_host {
    my $got = sysread(STDIN, $told, $CHUNK, length $told);
    exit 0 unless $got || (!defined $got && $! == EINTR);
    while (length $told >= 9) {
        my ($id, $what, $length) = unpack('NCN', $told);
        last if length $told < 9 + $length;
        my $data = substr($told, 9, $length);
        substr($told, 0, 9 + $length, '');
        my $conn = $conns{$id} or next;
        if ($what == $DATA) { $conn->{out} .= $data }
        elsif ($what == $CREDIT) { $conn->{credit} += unpack('N', $data) }
        elsif ($what == $EOF) { $conn->{over} = 1; settle($id, $conn) }
        elsif ($what == $CLOSE) { $conn->{closing} = $conn->{heard} = 1; settle($id, $conn) }
    }
}

sub say_to_host {
    my ($id, $what, $data) = @_;
    my $frame = pack('NCN', $id, $what, length $data) . $data;
    while (length $frame) {
        my $put = syswrite(STDOUT, $frame);
        if (!defined $put) { next if $! == EINTR; exit 1 }
        substr($frame, 0, $put, '');
    }
}
