-- The sqlite3 shell fills tables with orders, makes indices, asks for reports, changes and deletes.
-- A table `given` with one row says how many rows and which seed; draws are the same each time.
create temp view draw as
  with recursive n(i) as (select 1 union all select i + 1 from n, given where i < rows)
  select i, (i * 7919 + seed * 104729) % 10007 as a, (i * 6101 + seed * 7877) % 9973 as b
  from n, given;
create table customer (id integer primary key, name text, town text);
create table purchase (customer integer, amount real, note text);

insert into customer select i, 'name ' || a, substr('UlmJenaLundGentBrno', 1 + b % 15, 4) from draw;
insert into purchase select 1 + a % i, b / 7.0, substr(hex(zeroblob(200)), 1, a % 300) from draw;
create index by_customer on purchase (customer, amount);
create index by_town on customer (town, name);
analyze;

select town, count(*), sum(amount), group_concat(substr(note, 1, 3)) from customer
  join purchase on customer.id = purchase.customer group by town order by 3 desc limit 5;
update customer set name = name || ' and sons' where id % 7 = (select seed % 7 from given);
insert into purchase select b, a / 3.0, 'more' from draw where i % 3 = 0;
select name, avg(amount) from customer join purchase on id = customer
  group by name having count(*) > 1 order by 2 limit 9;
delete from purchase where amount < (select avg(amount) / 2 from purchase);
with ranked as (
  select customer, amount, row_number() over (partition by customer order by amount) as place
  from purchase
)
select sum(amount) from ranked where place < 3;
create table kept as select distinct town, name from customer where id in
  (select customer from purchase where note <> '') order by name;
update purchase set note = note || amount where rowid % 5 = 0;
select count(*), max(length(note)) from purchase where note like '%0%';
insert into customer (name, town) select upper(name), town from kept;
delete from customer where town = 'Lund';
vacuum;
select town, group_concat(name) from (select * from customer order by name) group by town limit 2;
