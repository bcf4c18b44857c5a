# Words are counted, indexed by line and rewritten by Perl.
use strict;
use warnings;

my ($state, $last) = @ARGV ? @ARGV : (1, 120); # the seed, and the number of lines
my (%count, %lines, @kept);

# A sequence of numbers that is the same everywhere.
sub draw { $state = ($state * 1103515245 + 12345) % 2147483648; return int($state / 65536) % $_[0] }

for my $number (1 .. $last) {
    my @words = map { join '', map { ('ba', 'do', 'ki', 'lum', 'mer')[draw(5)] } 0 .. draw(4) } 0 .. 4 + draw(9);
    my $line = ucfirst(join ' ', @words) . '.';
    $count{$_}++ for @words;
    push @{$lines{$_}}, $number for @words;
    (my $other = $line) =~ s/(\w+)ba\b/<$1>/g;
    push @kept, [$number, $other, scalar @words];
    shift @kept if @kept > 30;
}
my @common = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
printf "%s %d %s\n", $_, $count{$_}, join ',', @{$lines{$_}}[0 .. 1] for @common[0 .. 4];
