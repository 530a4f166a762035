# Lays out the archive: eight records, of which two have no year.
cd /home/agent/archive
mkdir records
{% for number in numbers %}
cat > records/{{ number }}.txt <<'END'
Number: {{ number }}
Title: {{ titles[loop.index0] }}
Year: {{ '' if loop.index0 in [1, 5] else years[loop.index0] }}
Shelf: {{ ['A1', 'A2', 'B1', 'B2', 'C1', 'C2', 'D1', 'D2'][loop.index0] }}
Remarks:
END
{% endfor %}
