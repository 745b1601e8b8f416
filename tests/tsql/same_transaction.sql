-- @P1 nvarchar "icesync:apply:dbo.orders"
IF APPLOCK_MODE(N'public', @P1, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
